// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "kernels/ref/attention_ref.h"
#include "kernels/select_rule.h"

namespace suffice::ref {
namespace {

struct Extents {
  int64_t batch, heads, t_q, t_k;
};

Extents ExtentsOf(const SelectParams& p) {
  const View& leader = p.k_pooled.empty() ? p.scores : p.q_pooled;
  return {leader.dim(0), leader.dim(1), BlockCount(p.n_q, p.block.q), BlockCount(p.n_k, p.block.k)};
}

// The transpose of the row lists, column by column.
void Transpose(const SelectParams& p, const Extents& e) {
  const int64_t* row_ptr = p.rows.ptr.ptr<int64_t>();
  const uint16_t* row_ids = p.rows.ids.ptr<uint16_t>();
  int64_t* ptr = p.columns.ptr.ptr<int64_t>();
  uint16_t* ids = p.columns.ids.ptr<uint16_t>();
  int64_t next = 0;
  for (int64_t head = 0; head < e.batch * e.heads; ++head) {
    for (int64_t j = 0; j < e.t_k; ++j) {
      ptr[head * e.t_k + j] = next;
      for (int64_t i = 0; i < e.t_q; ++i) {
        const uint16_t* begin = row_ids + row_ptr[head * e.t_q + i];
        const uint16_t* end = row_ids + row_ptr[head * e.t_q + i + 1];
        if (std::find(begin, end, j) != end) ids[next++] = static_cast<uint16_t>(i);
      }
    }
  }
  ptr[e.batch * e.heads * e.t_k] = next;
}

}  // namespace

size_t SelectWorkspaceBytes(const Context&, const SelectParams& p) {
  const auto blocks = static_cast<size_t>(ExtentsOf(p).t_k);
  return blocks * (sizeof(float) + sizeof(int32_t) + sizeof(uint8_t));
}

void Select(Context&, const SelectParams& p, void* workspace) {
  const Extents e = ExtentsOf(p);
  float* scores = static_cast<float*>(workspace);
  int32_t* order = reinterpret_cast<int32_t*>(scores + e.t_k);
  uint8_t* keep = reinterpret_cast<uint8_t*>(order + e.t_k);
  int64_t* ptr = p.rows.ptr.ptr<int64_t>();
  uint16_t* ids = p.rows.ids.ptr<uint16_t>();
  bool any_nan = false;
  int64_t next = 0;
  int64_t row = 0;
  for (int64_t b = 0; b < e.batch; ++b) {
    for (int64_t h = 0; h < e.heads; ++h) {
      for (int64_t i = 0; i < e.t_q; ++i, ++row) {
        const int64_t allowed = p.mask.AllowedBlocks(i, p.n_q, p.n_k, p.block);
        for (int64_t j = 0; j < allowed; ++j) {
          if (p.k_pooled.empty()) {
            scores[j] = *p.scores.ptr<float>({b, h, i, j});
          } else {
            const int64_t key_head = h / (e.heads / p.k_pooled.dim(1));
            const double dot = Dot(p.q_pooled.ptr<float>({b, h, i}),
                                   p.k_pooled.ptr<float>({b, key_head, j}), p.q_pooled.dim(3));
            scores[j] = static_cast<float>(double{p.scale} * dot);
          }
          any_nan = any_nan || std::isnan(scores[j]);
        }
        if (!p.scores.empty()) {
          float* out = p.scores.ptr<float>({b, h, i});
          std::copy(scores, scores + allowed, out);
          std::fill(out + allowed, out + e.t_k, -std::numeric_limits<float>::infinity());
        }

        RowRule rule{p.rule, p.setting, PinnedOf(p, i)};
        if (!p.settings.empty()) {
          rule.setting =
              Clamped({*p.settings.ptr<int32_t>({h, 0}), *p.settings.ptr<int32_t>({h, 1})});
        }
        if (p.rule == SelectRule::kMask) rule.given = p.given.ptr<uint8_t>({b, h, i});
        const auto n = static_cast<size_t>(allowed);
        SelectRow({scores, n}, rule, {order, n}, {keep, n});
        ptr[row] = next;
        for (int64_t j = 0; j < allowed; ++j) {
          if (keep[j]) ids[next++] = static_cast<uint16_t>(j);
        }
      }
    }
  }
  ptr[row] = next;
  if (!p.columns.empty()) Transpose(p, e);
  if (!p.nan_flag.empty()) *p.nan_flag.ptr<int32_t>() = any_nan;
}

}  // namespace suffice::ref
