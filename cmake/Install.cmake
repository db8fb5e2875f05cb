# The library with its headers, manuals and recipes, and a package that find_package(suffice) finds.
# The tools and their completions: tools/CMakeLists.txt.
include(CMakePackageConfigHelpers)
install(TARGETS suffice_core EXPORT suffice-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(
  DIRECTORY lib kernels
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/suffice
  FILES_MATCHING
  PATTERN "*.h"
  PATTERN "kernels/*/*" EXCLUDE  # a backend's own, and the bench's
  PATTERN "*/sparsify/bench_table.h" EXCLUDE
  PATTERN "*/io/hdf5_handle.h" EXCLUDE  # these four want hdf5.h, which stays behind lib/io
  PATTERN "*/io/tensor_attribute.h" EXCLUDE
  PATTERN "*/io/tensor_check.h" EXCLUDE
  PATTERN "*/io/tensor_types.h" EXCLUDE)
foreach(section 1 5 7)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/suffice)
install(EXPORT suffice-targets NAMESPACE suffice:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/suffice)
configure_package_config_file(
  cmake/suffice-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/suffice-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/suffice)
write_basic_package_version_file(
  ${CMAKE_CURRENT_BINARY_DIR}/suffice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/suffice-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/suffice-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/suffice)
