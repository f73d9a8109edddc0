# A stand-in of what find_package(Slicer) gives an extension, for the tests only: own words for the macros InvDetect calls.
# Facts it follows (Slicer 5.12): relative paths are kept below qt-scripted-modules, WITH_SUBDIR adds the source folder's name, every
# file must exist, and scripts are byte-compiled and installed with their folder.
set(Slicer_USE_PYTHONQT ON)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/Metadata.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
