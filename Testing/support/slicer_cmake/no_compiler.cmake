# The extension compiles nothing, so that configuring it for a test need not look for compilers, nor have any.
foreach(_language C CXX)
  set(CMAKE_${_language}_COMPILER ${CMAKE_COMMAND})
  set(CMAKE_${_language}_COMPILER_FORCED ON)
endforeach()
