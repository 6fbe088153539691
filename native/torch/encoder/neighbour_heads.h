// A start for pretraining: attention that reads the neighbours of each unit from the first step on.
#pragma once

#include "torch/encoder/albert.h"

namespace albert_ner::encoder {

/// Rewrites random weights so that the first heads of every layer attend to the units at distance -1, 1, -2,
/// 2, -3, 3, one distance a head; further heads stay random. Drawn from N(0, initializer_range) alone,
/// attention hardly tells places apart, and a masked language model spends its first tens of millions of
/// units on learning to.
///
/// The last dimensions of the sum of embeddings and of hidden rows become those of places, free of words: the
/// position embeddings hold sinusoids there (Vaswani et al. 2017, section 3.5), of the length of the words
/// beside them, types start at 0, and a head's query is its key turned by the distance, which is a rotation
/// of each pair of cosine and sine. All of it is trained like any other weights. Once, on random weights.
///
///   returns  dimensions of the word embeddings, the first ones, that are left to words
///
/// Throws kInvalidArgument, changing nothing, for shapes with no room for a place: embeddings narrower than
/// 24, heads narrower than 12, hidden rows narrower than the embeddings.
int64_t attend_to_neighbours(Albert& encoder);

}  // namespace albert_ner::encoder
