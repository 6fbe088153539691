# Kernel sources are compiled once per instruction set, each time into the namespace ALBERT_NER_ISA names;
# native/core/simd/isa.h chooses at run time. The baseline runs on any processor of the architecture, which on arm64
# includes NEON.
#
#   albert_ner_add_kernels(SOURCE...)  defines the targets ALBERT_NER_KERNEL_TARGETS
#   ALBERT_NER_KERNEL_DEFINITIONS      tells the sources that choose which sets there are

set(ALBERT_NER_KERNEL_ISAS baseline)
set(ALBERT_NER_KERNEL_OPTIONS_baseline "")
set(ALBERT_NER_KERNEL_DEFINITIONS "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND ALBERT_NER_KERNEL_ISAS avx2 avx512)
  set(ALBERT_NER_KERNEL_OPTIONS_avx2 -mavx2 -mfma -mf16c)
  set(ALBERT_NER_KERNEL_OPTIONS_avx512 -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl)
  set(ALBERT_NER_KERNEL_DEFINITIONS ALBERT_NER_X86_KERNELS)
endif()

set(ALBERT_NER_KERNEL_TARGETS "")
foreach(isa ${ALBERT_NER_KERNEL_ISAS})
  list(APPEND ALBERT_NER_KERNEL_TARGETS albert_ner_kernels_${isa})
endforeach()

function(albert_ner_add_kernels)
  foreach(isa ${ALBERT_NER_KERNEL_ISAS})
    set(target albert_ner_kernels_${isa})
    add_library(${target} OBJECT ${ARGN})
    target_include_directories(${target} PRIVATE native)
    target_compile_definitions(${target} PRIVATE ALBERT_NER_ISA=${isa})
    # Vector types wider than the set's registers never cross a call, so their calling convention doesn't matter.
    target_compile_options(${target} PRIVATE -O3 -ffp-contract=fast -Wno-psabi ${ALBERT_NER_KERNEL_OPTIONS_${isa}})
    albert_ner_enable_warnings(${target})
    albert_ner_sanitize(${target})
  endforeach()
endfunction()
