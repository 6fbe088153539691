# Decides whether the CUDA kernels are built: sets ALBERT_NER_WITH_CUDA, and then enables the language and defines the
# imported targets albert_ner::c10_cuda and albert_ner::cudart.
#
# They are on when libtorch has CUDA and an nvcc of the same major version is found; ALBERT_NER_CUDA forces them. nvcc is
# that of CUDACXX, else of PATH. libtorch_cuda isn't linked: native/torch/support/device.cpp opens it where there is a driver,
# so the addon loads on any machine that has the CUDA runtime, which libtorch_cpu of a CUDA build needs anyway.

set(ALBERT_NER_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO, ON or OFF")
set(ALBERT_NER_WITH_CUDA OFF)

# What is missing, in words; empty if nothing is. Sets albert_ner_cudart to the runtime's path.
function(albert_ner_find_cuda missing)
  if(NOT EXISTS "${ALBERT_NER_LIBTORCH}/lib/libc10_cuda.so")
    set(${missing} "libtorch in '${ALBERT_NER_LIBTORCH}' was built without CUDA" PARENT_SCOPE)
    return()
  endif()
  # Of an unpacked libtorch, of a wheel, or of the toolkit.
  file(GLOB runtimes
    "${ALBERT_NER_LIBTORCH}/lib/libcudart*.so*"
    "${ALBERT_NER_LIBTORCH}/../nvidia/*/lib/libcudart.so.*"
    "/usr/local/cuda/lib64/libcudart.so.*")
  list(GET runtimes 0 runtime)
  if(NOT runtime)
    set(${missing} "the CUDA runtime (libcudart) isn't beside libtorch" PARENT_SCOPE)
    return()
  endif()
  # The nvcc of now: a build folder would go on with the one it found first, or with none.
  unset(CMAKE_CUDA_COMPILER CACHE)
  file(REMOVE "${CMAKE_PLATFORM_INFO_DIR}/CMakeCUDACompiler.cmake")
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(${missing} "nvcc wasn't found, or can't compile; CUDACXX names one" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --version OUTPUT_VARIABLE compiler)
  string(REGEX MATCH "release ([0-9]+)" ignored "${compiler}")
  set(compiler_major "${CMAKE_MATCH_1}")
  string(REGEX MATCH "\\.so\\.([0-9]+)" ignored "${runtime}")
  if(NOT compiler_major STREQUAL CMAKE_MATCH_1)
    set(${missing} "nvcc is of CUDA ${compiler_major} but libtorch of CUDA ${CMAKE_MATCH_1}" PARENT_SCOPE)
    return()
  endif()
  set(albert_ner_cudart "${runtime}" PARENT_SCOPE)
endfunction()

if(ALBERT_NER_CUDA)
  albert_ner_find_cuda(missing)
  if(NOT missing)
    set(ALBERT_NER_WITH_CUDA ON)
  elseif(ALBERT_NER_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA kernels: off, ${missing}")
  else()
    message(FATAL_ERROR "ALBERT_NER_CUDA is ${ALBERT_NER_CUDA} but ${missing}")
  endif()
endif()

if(ALBERT_NER_WITH_CUDA)
  message(STATUS "CUDA kernels: on, ${CMAKE_CUDA_COMPILER}")
  enable_language(CUDA)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    # CMake before 3.26 doesn't know how nvcc 13 is told the standard.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  add_library(albert_ner::c10_cuda SHARED IMPORTED)
  set_target_properties(albert_ner::c10_cuda PROPERTIES
    IMPORTED_LOCATION "${ALBERT_NER_LIBTORCH}/lib/libc10_cuda.so")
  add_library(albert_ner::cudart SHARED IMPORTED)
  set_target_properties(albert_ner::cudart PROPERTIES IMPORTED_LOCATION "${albert_ner_cudart}")
endif()
