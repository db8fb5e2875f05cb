// SPDX-License-Identifier: Apache-2.0
#include "lib/base/digest.h"

#include <gtest/gtest.h>

namespace suffice {
namespace {

TEST(Digest, Sha256MatchesItsPublishedVectors) {
  EXPECT_EQ(Hex(Sha256Of("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hex(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, PiecewiseEqualsWhole) {
  Sha256 sha;
  Xxh3 xxh;
  for (const char* part : {"block", "-", "sparse"}) {
    sha.Update(part);
    xxh.Update(part, std::string_view(part).size());
  }
  EXPECT_EQ(sha.Finish(), Sha256Of("block-sparse"));
  EXPECT_EQ(xxh.Finish(), Xxh3Of("block-sparse", 12));
}

TEST(Digest, Xxh3OfNothingIsTheCanonicalConstant) {
  EXPECT_EQ(Xxh3Of("", 0), "99aa06d3014798d86001c324468d497f");
}

}  // namespace
}  // namespace suffice
