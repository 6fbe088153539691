// Refuses at compile time a libtorch whose interfaces the sources were never built against.
#pragma once

#include <torch/headeronly/version.h>

#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 15
#error "albert-ner needs libtorch 2.15 or a later 2.x; run the set-up to install the pinned one"
#endif
