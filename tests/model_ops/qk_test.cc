// SPDX-License-Identifier: Apache-2.0
// qk_norm_rope_pool on every backend of this machine that has it: near the reference, and its means
// are bit for bit those that `pool` makes of its rounded output.
#include <gtest/gtest.h>

#include "tests/model_ops/rig.h"

namespace suffice::testing {
namespace {

struct QkCase {
  int64_t batch, tokens, heads, key_heads, dim;
  bool norm = true, rope = true, pool = true;
  int64_t gap = 0;  // of the projection's rows, in elements
};
constexpr QkCase kCases[] = {
    {2, 300, 5, 5, 128},
    {1, 391, 12, 4, 128},
    {2, 130, 3, 1, 64},
    {1, 200, 9, 9, 32},
    {1, 260, 2, 2, 256},
    {1, 70, 20, 20, 64},
    {2, 131, 3, 3, 20},
    {1, 100, 2, 2, 7, true, false},
    {1, 129, 3, 3, 128, false},
    {1, 129, 3, 3, 128, true, false},
    {1, 129, 3, 3, 128, true, true, false},
    {1, 129, 3, 3, 64, true, true, true, 3},  // no row but the first is aligned
    {1, 1, 1, 1, 64},
};

// Every buffer of a run; the last two are q's and k's means by `pool`, if there are means.
struct QkResult {
  std::vector<HostArray> buffers;
  std::vector<size_t> means;  // which buffers are the operation's own
};

QkResult RunQk(const QkCase& c, const ContextOptions& options, DType dtype) {
  Context context(options);
  Rig r(context, dtype);
  QkResult result;
  size_t made = 0;  // buffers of the rig
  const auto made_now = [&made](View view) {
    ++made;
    return view;
  };
  const int64_t all = c.heads + c.key_heads;
  const View rows = made_now(r.InRows(c.batch * c.tokens, all * c.dim, c.gap));
  View projection = rows;  // (B, N, heads of q and of k, D)
  projection.shape = {c.batch, c.tokens, all, c.dim};
  projection.strides = {c.tokens * rows.stride(0), rows.stride(0), c.dim, 1};
  QkNormRopePoolParams p;
  if (c.rope) {
    p.cos = made_now(r.In({c.tokens, c.dim / 2}, DType::kF32));
    p.sin = made_now(r.In({c.tokens, c.dim / 2}, DType::kF32));
  }
  const auto side = [&](int64_t begin, int64_t heads, int block) {
    QkSide s;
    s.in = projection.slice(2, begin, begin + heads);
    s.out = made_now(r.Out({c.batch, heads, c.tokens, c.dim}));
    // Measured in any case, applied where there is a weight.
    s.rrms = made_now(r.Out({c.batch, heads, c.tokens}, DType::kF32));
    if (c.norm) s.weight = made_now(begin == 0 ? r.In({c.dim}, DType::kF32) : r.In({c.dim}));
    s.block = block;
    if (c.pool) {
      result.means.push_back(made);
      s.pooled = made_now(r.Out({c.batch, heads, BlockCount(c.tokens, block), c.dim}, DType::kF32));
    }
    return s;
  };
  p.q = side(0, c.heads, 128);
  p.k = side(c.heads, c.key_heads, 64);
  context.Run(p);
  for (const QkSide& s : {p.q, p.k}) {
    if (!c.pool) continue;
    context.Run(
        PoolParams{.x = s.out, .pooled = r.Out(s.pooled.shape, DType::kF32), .block = s.block});
  }
  result.buffers = r.Buffers();
  return result;
}

bool HasQk(const Backend& backend) {
  return backend.qk_norm_rope_pool.run != nullptr && backend.pool.run != nullptr;
}

TEST(QkNormRopePool, AgreesWithTheReferenceAndWithPool) {
  for (const Backend* backend : Backends()) {
    const std::string name = backend->name;
    if (name == "ref" || backend->unavailable(0) || !HasQk(*backend)) continue;
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (size_t n = 0; n < std::size(kCases); ++n) {
        const QkResult wanted = RunQk(kCases[n], {.backend = "ref"}, dtype);
        const QkResult found = RunQk(kCases[n], {.backend = name, .threads = 2}, dtype);
        ASSERT_EQ(found.buffers.size(), wanted.buffers.size());
        for (size_t i = 0; i < wanted.buffers.size(); ++i) {
          const bool coarse = dtype == DType::kBF16;
          EXPECT_LE(RelativeError(found.buffers[i], wanted.buffers[i]), coarse ? 4e-3 : 2e-6)
              << name << ", case " << n << ", " << NameOf(dtype) << ", buffer " << i;
        }
        for (size_t i = 0; i < found.means.size(); ++i) {
          EXPECT_TRUE(
              SameBits(found.buffers[found.means[i]], found.buffers[found.buffers.size() - 2 + i]))
              << name << ", case " << n << ", " << NameOf(dtype) << ", means " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace suffice::testing
