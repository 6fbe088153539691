// A start for pretraining: attention that reads the neighbours of each unit from the first step on.
#pragma once

#include "encoder/albert.h"

namespace albert_ner::encoder {

/// Rewrites random weights so that the first heads of every layer attend to the units at distance -1, 1, -2,
/// 2, -3, 3, one distance a head; the others stay random. Drawn from N(0, initializer_range) alone, attention
/// hardly tells places apart, and a masked language model spends its first tens of millions of units on
/// learning to.
///
/// The last dimensions of embeddings and hidden rows become those of places, free of words: the position
/// embeddings hold sinusoids there (Vaswani et al. 2017, section 3.5) as long as the words beside them, types
/// start at 0, and a head's query is its key turned by the distance, which is a rotation of each pair of sine
/// and cosine. All of it is trained like any other weights.
///
///   weights  in the order of weight_shapes, random or with word embeddings that were fitted to text; those
///            lose their last dimensions and keep their length
///
/// Throws kInvalidArgument for shapes with no room for a place: embeddings or heads narrower than 4, or
/// hidden rows narrower than the embeddings.
void attend_to_neighbours(const AlbertConfig& config, const NamedTensors& weights);

}  // namespace albert_ner::encoder
