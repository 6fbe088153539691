# Finds libtorch and defines the imported targets albert_ner::torch_cpu and albert_ner::c10.
#
# Linked by path instead of find_package(Torch): the config file of a CUDA wheel demands the whole CUDA toolkit.
# Only torch_cpu and c10 are linked (and c10_cuda where CUDA kernels are built, see cuda.cmake), never torch_cuda: so one
# addon runs with CPU and CUDA builds of the same version.

set(ALBERT_NER_LIBTORCH "" CACHE PATH "Folder with include/ and lib/ of libtorch (the 'torch' folder of a wheel, or an unpacked libtorch)")

if(NOT ALBERT_NER_LIBTORCH)
  message(FATAL_ERROR
    "ALBERT_NER_LIBTORCH is not set. Run 'node scripts/bootstrap.js' (a checkout) or 'npx albert-ner setup' "
    "(an installed package): both find or install libtorch and pass its folder. "
    "By hand: cmake -DALBERT_NER_LIBTORCH=/path/to/libtorch")
endif()

foreach(file include/ATen/ATen.h include/c10/core/Device.h)
  if(NOT EXISTS "${ALBERT_NER_LIBTORCH}/${file}")
    message(FATAL_ERROR "No libtorch in '${ALBERT_NER_LIBTORCH}': ${file} is missing")
  endif()
endforeach()

foreach(library torch_cpu c10)
  set(path "${ALBERT_NER_LIBTORCH}/lib/${CMAKE_SHARED_LIBRARY_PREFIX}${library}${CMAKE_SHARED_LIBRARY_SUFFIX}")
  if(NOT EXISTS "${path}")
    message(FATAL_ERROR "No libtorch in '${ALBERT_NER_LIBTORCH}': ${path} is missing")
  endif()
  add_library(albert_ner::${library} SHARED IMPORTED)
  set_target_properties(albert_ner::${library} PROPERTIES
    IMPORTED_LOCATION "${path}"
    INTERFACE_INCLUDE_DIRECTORIES
      "${ALBERT_NER_LIBTORCH}/include;${ALBERT_NER_LIBTORCH}/include/torch/csrc/api/include"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
      "${ALBERT_NER_LIBTORCH}/include;${ALBERT_NER_LIBTORCH}/include/torch/csrc/api/include")
endforeach()

# libtorch_cpu.so of a CUDA wheel needs libcudart and libcupti from the wheels beside it and finds them by its own
# RPATH; the linker must not try to resolve them again.
if(UNIX AND NOT APPLE)
  set_property(TARGET albert_ner::torch_cpu PROPERTY INTERFACE_LINK_OPTIONS -Wl,--allow-shlib-undefined)
endif()
