# Everything third-party, from the system's packages only. Nothing is fetched.
if(SUFFICE_STATIC)
  set(HDF5_USE_STATIC_LIBRARIES ON)
  set(OPENSSL_USE_STATIC_LIBS ON)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
endif()

find_package(Threads REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto)
find_package(HDF5 1.10 REQUIRED COMPONENTS C)
find_package(Boost 1.74 REQUIRED)  # Boost.Math, headers only
find_package(Eigen3 3.4 REQUIRED NO_MODULE)  # headers only
find_package(CLI11 2.1 REQUIRED)
find_package(ZLIB REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
set(SUFFICE_YAML yaml-cpp)
if(SUFFICE_STATIC)
  # Debian's yaml-cpp package names its shared library only; libhdf5.a leaves szip's to its user.
  find_library(YAML_CPP_STATIC libyaml-cpp.a REQUIRED)
  find_library(SZIP_STATIC libsz.a REQUIRED)
  find_library(AEC_STATIC libaec.a REQUIRED)
  set(SUFFICE_YAML ${YAML_CPP_STATIC})
  set(SUFFICE_SZIP ${SZIP_STATIC} ${AEC_STATIC})
endif()
find_path(STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb REQUIRED)

# oneDNN's own CMake package asks for OpenCL's headers; the library alone needs none.
if(NOT SUFFICE_ONEDNN STREQUAL OFF)
  find_library(DNNL_LIBRARY dnnl)
  find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h)
  if(DNNL_LIBRARY AND DNNL_INCLUDE_DIR)
    set(SUFFICE_HAVE_ONEDNN ON)
  elseif(SUFFICE_ONEDNN STREQUAL ON)
    message(FATAL_ERROR "SUFFICE_ONEDNN=ON, but oneDNN (libdnnl-dev) was not found")
  else()
    message(STATUS "oneDNN not found: the CPU's matrix products use the portable path")
  endif()
endif()

function(suffice_link_dependencies target)
  if(SUFFICE_STATIC)
    set(fmt_target fmt::fmt-header-only)
    target_link_options(${target} INTERFACE -static-libstdc++ -static-libgcc)
  else()
    set(fmt_target fmt::fmt)
  endif()
  target_link_libraries(
    ${target}
    PUBLIC ${fmt_target} Threads::Threads
    PRIVATE ${SUFFICE_YAML} $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> OpenSSL::Crypto hdf5::hdf5
            ${SUFFICE_SZIP} $<BUILD_INTERFACE:Boost::headers> $<BUILD_INTERFACE:Eigen3::Eigen>
            ${XXHASH_LIBRARY} ZLIB::ZLIB ${CMAKE_DL_LIBS})
  target_compile_definitions(${target} PRIVATE H5_USE_110_API)
  if(SUFFICE_HAVE_ONEDNN)
    target_link_libraries(${target} PRIVATE ${DNNL_LIBRARY} gomp)  # its threads are libgomp's
  endif()
endfunction()
