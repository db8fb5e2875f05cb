# The CUDA backend: SUFFICE_HAVE_CUDA, and suffice_cuda_sources(ARCHITECTURES FILE...).
#
# Code for Hopper's own instructions is compiled for sm_90a alone, whatever else is asked for; the
# portable code for SUFFICE_CUDA_ARCHITECTURES. CMake takes architectures per target, so each set is an
# object library, whose objects go into suffice_core.
if(SUFFICE_CUDA STREQUAL OFF)
  return()
endif()

set(SUFFICE_CUDA_ARCHITECTURES
    "80-real;86-real;89-real;90-real;120-real;80-virtual"
    CACHE STRING "GPU architectures of the portable CUDA kernels, as CUDA_ARCHITECTURES takes them")
set(CMAKE_CUDA_ARCHITECTURES 90a-real)  # before the language is enabled, or a default is chosen
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(SUFFICE_CUDA STREQUAL ON)
    message(FATAL_ERROR "SUFFICE_CUDA=ON, but no CUDA compiler (nvcc) was found")
  endif()
  message(STATUS "nvcc not found: no CUDA backend")
  return()
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12.4 REQUIRED)
set(SUFFICE_HAVE_CUDA ON)

# CMake 3.25 has C++20 for CUDA, but not how nvcc is told.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
set(suffice_cuda_flags
    -lineinfo
    --expt-relaxed-constexpr
    -Xptxas=--warning-as-error
    $<$<BOOL:${SUFFICE_WERROR}>:-Werror=all-warnings>
    -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers)

function(suffice_cuda_sources name architectures)
  add_library(suffice_${name} OBJECT ${ARGN})
  set_target_properties(suffice_${name} PROPERTIES CUDA_ARCHITECTURES "${architectures}")
  target_include_directories(
    suffice_${name} PRIVATE ${PROJECT_SOURCE_DIR} $<TARGET_PROPERTY:fmt::fmt,INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_options(suffice_${name} PRIVATE ${suffice_cuda_flags})
  # fmt 9 takes nvcc for a compiler without constexpr functions.
  target_compile_definitions(suffice_${name} PRIVATE FMT_USE_CONSTEXPR=1 FMT_CONSTEVAL=)
  target_sources(suffice_core PRIVATE $<TARGET_OBJECTS:suffice_${name}>)
endfunction()
