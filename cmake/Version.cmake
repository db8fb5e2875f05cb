# SUFFICE_VERSION_FULL: the version and, in a git checkout, what `git describe` says of it.
set(SUFFICE_VERSION_FULL ${PROJECT_VERSION})
find_package(Git QUIET)
if(Git_FOUND AND EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/.git)
  execute_process(
    COMMAND ${GIT_EXECUTABLE} describe --always --dirty --exclude "*"
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    OUTPUT_VARIABLE suffice_describe
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(suffice_describe)
    set(SUFFICE_VERSION_FULL "${PROJECT_VERSION}+${suffice_describe}")
  endif()
endif()
