# Writes the extension's description as Slicer does, one `key value` a line, for the tests to read.
set(_lines "")
foreach(_key HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS STATUS KEYWORDS ENABLED TIER BUILD_SUBDIRECTORY
        README_FILE LICENSE_FILE)
  if(NOT DEFINED EXTENSION_${_key})
    message(FATAL_ERROR "EXTENSION_${_key} is not set")
  endif()
  string(TOLOWER ${_key} _name)
  string(APPEND _lines "${_name} ${EXTENSION_${_key}}\n")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/${PROJECT_NAME}.s4ext "${_lines}")
