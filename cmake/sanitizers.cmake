# ALBERT_NER_SANITIZE=address,undefined builds all native code of ours with these sanitizers, for scripts/check-sanitizers.js.
# libtorch and Node stay as they are: code that isn't instrumented hides no fault of code that is.

set(ALBERT_NER_SANITIZE "" CACHE STRING "Sanitizers for our native code, as -fsanitize takes them; empty for none")

function(albert_ner_sanitize target)
  if(NOT ALBERT_NER_SANITIZE)
    return()
  endif()
  # What is found ends the process. vptr would need the type information that libtorch hides.
  target_compile_options(${target} PRIVATE -fsanitize=${ALBERT_NER_SANITIZE} -fno-sanitize=vptr
    -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(${target} INTERFACE -fsanitize=${ALBERT_NER_SANITIZE})
endfunction()
