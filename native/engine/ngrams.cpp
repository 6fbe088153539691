#include "engine/ngrams.h"

#include <algorithm>

#include "common/check.h"
#include "common/splitmix64.h"

namespace albert_ner::engine {
namespace {

constexpr uint64_t kIdBits = 20;
constexpr uint64_t kEdge = (1ULL << kIdBits) - 1;  // before the first and after the last unit
constexpr uint64_t kNoUnit = kEdge - 1;            // first place of a pair

/// The upper half of the mixed ids. Models store it, so it can't change.
int32_t hash(uint64_t a, uint64_t b, uint64_t c) {
  return static_cast<int32_t>(splitmix64_mix((a << (2 * kIdBits)) | (b << kIdBits) | c) >> 32);
}

/// Calls body(place, pair, triple) with the hashes of the n-grams that end at each place from the first unit
/// to two behind the last.
template <typename Body>
void for_each_end(const int32_t* ids, int64_t length, Body body) {
  uint64_t before = kEdge;
  uint64_t previous = kEdge;
  for (int64_t place = 0; place < length + 2; ++place) {
    const uint64_t unit = place < length ? static_cast<uint64_t>(ids[place]) : kEdge;
    body(place, hash(kNoUnit, previous, unit), hash(before, previous, unit));
    before = previous;
    previous = unit;
  }
}

struct Counted {
  int64_t occurrences;
  int32_t key;
};

}  // namespace

std::vector<int32_t> select_ngrams(const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets,
                                   int64_t count, int64_t min_count) {
  for (int32_t id : ids) check_argument(id >= 0 && id < kMaxNgramId, "ids", "ids below 2^20 - 2", id);
  std::vector<int32_t> hashes;
  hashes.reserve(2 * (ids.size() + 2 * offsets.size()));
  for (size_t b = 0; b + 1 < offsets.size(); ++b) {
    const int64_t length = offsets[b + 1] - offsets[b];
    for_each_end(ids.data() + offsets[b], length, [&](int64_t place, int32_t pair, int32_t triple) {
      if (length == 0) return;
      if (place <= length) hashes.push_back(pair);  // the pair after that has no unit
      hashes.push_back(triple);
    });
  }
  std::sort(hashes.begin(), hashes.end());
  std::vector<Counted> counted;
  for (size_t begin = 0, end = 0; begin < hashes.size(); begin = end) {
    while (end < hashes.size() && hashes[end] == hashes[begin]) ++end;
    const int64_t occurrences = static_cast<int64_t>(end - begin);
    if (occurrences >= min_count) counted.push_back({occurrences, hashes[begin]});
  }
  // Stable, so that equals stay in the order of their hashes.
  std::stable_sort(counted.begin(), counted.end(),
                   [](const Counted& a, const Counted& b) { return a.occurrences > b.occurrences; });
  if (static_cast<int64_t>(counted.size()) > count) counted.resize(static_cast<size_t>(count));
  std::vector<int32_t> keys;
  for (const Counted& entry : counted) keys.push_back(entry.key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

std::vector<int64_t> ngram_rows(const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets,
                                const std::vector<int32_t>& keys) {
  std::vector<int64_t> rows(ids.size() * kNgramSlots);  // [N, kNgramSlots]
  auto row_of = [&](int32_t key) -> int64_t {
    const auto found = std::lower_bound(keys.begin(), keys.end(), key);
    return found != keys.end() && *found == key ? 1 + (found - keys.begin()) : 0;
  };
  for (size_t b = 0; b + 1 < offsets.size(); ++b) {
    const int64_t length = offsets[b + 1] - offsets[b];
    int64_t* first = rows.data() + offsets[b] * kNgramSlots;
    auto set = [&](int64_t unit, int64_t slot, int64_t row) {
      if (unit >= 0 && unit < length) first[unit * kNgramSlots + slot] = row;
    };
    for_each_end(ids.data() + offsets[b], length, [&](int64_t place, int32_t pair, int32_t triple) {
      const int64_t pair_row = row_of(pair);
      const int64_t triple_row = row_of(triple);
      set(place, 0, pair_row);
      set(place - 1, 1, pair_row);
      set(place, 2, triple_row);
      set(place - 1, 3, triple_row);
      set(place - 2, 4, triple_row);
    });
  }
  return rows;
}

}  // namespace albert_ner::engine
