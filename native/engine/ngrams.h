// n-grams of units as rows of an embedding table: what a list of names and words would tell the head about
// the characters around each one, and what a small encoder can't remember.
#pragma once

#include <cstdint>
#include <vector>

namespace albert_ner::engine {

/// Looked up for unit t: the pairs (t-1, t) and (t, t+1), then the triples that end, centre and begin at t.
/// Places before the first and after the last unit of a sequence count as one more unit.
constexpr int64_t kNgramSlots = 5;

/// Ids from here on can't be part of an n-gram.
constexpr int32_t kMaxNgramId = (1 << 20) - 2;

/// Hashes of the pairs and triples with most occurrences in packed units, ascending.
///
///   ids, offsets  [N], [B+1]
///   count         at most so many; of equally frequent ones those with smaller hashes
///   min_count     fewer occurrences give no row
///
/// O(N log N). Throws kInvalidArgument for an id outside [0, kMaxNgramId).
std::vector<int32_t> select_ngrams(const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets,
                                   int64_t count, int64_t min_count);

/// Rows of the table for every unit, [N, kNgramSlots]: 1 + the place of the n-gram's hash in `keys`, 0
/// for all n-grams that aren't there. n-grams of one hash share a row; with 10^5 keys one look-up in 40,000
/// finds another's.
std::vector<int64_t> ngram_rows(const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets,
                                const std::vector<int32_t>& keys);

}  // namespace albert_ner::engine
