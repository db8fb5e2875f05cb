# With CMAKE_UNITY_BUILD, which the sanitizers' presets set, a folder of lib or tests is compiled as one
# source: what the heavy headers instantiate is instrumented once a folder instead of once a file.
# Kernels and the plain build are compiled file by file.
#
# Names in anonymous namespaces meet there: a file whose names are taken sets
# SKIP_UNITY_BUILD_INCLUSION. CMake leaves files with flags or definitions of their own apart.
set_target_properties(suffice_core PROPERTIES UNITY_BUILD_MODE GROUP)
get_target_property(sources suffice_core SOURCES)
foreach(source ${sources})
  cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  cmake_path(GET source PARENT_PATH folder)
  if(folder MATCHES "^lib/")
    cmake_path(GET folder FILENAME group)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
  endif()
endforeach()
