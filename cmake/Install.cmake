# The tools, the library with its headers, and a package that find_package(suffice) finds.
include(CMakePackageConfigHelpers)
install(TARGETS suffice_core EXPORT suffice-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(
  DIRECTORY lib kernels
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/suffice
  FILES_MATCHING
  PATTERN "*.h"
  PATTERN "*-inl.h" EXCLUDE)
install(EXPORT suffice-targets NAMESPACE suffice:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/suffice)
configure_package_config_file(
  cmake/suffice-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/suffice-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/suffice)
write_basic_package_version_file(
  ${CMAKE_CURRENT_BINARY_DIR}/suffice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/suffice-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/suffice-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/suffice)
