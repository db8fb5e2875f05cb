// SPDX-License-Identifier: Apache-2.0
// "did you mean": the candidate nearest to a misspelt name.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace suffice {

// The candidate with the least edit distance, if at most a third of the name's length (at least 2);
// otherwise empty. Ties go to the first.
std::string NearestName(std::string_view name, std::span<const std::string> candidates);

// " (did you mean 'x'?)" or "".
std::string DidYouMean(std::string_view name, std::span<const std::string> candidates);

}  // namespace suffice
