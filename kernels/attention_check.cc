// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_check.h"

#include <cmath>

#include "kernels/select_rule.h"

namespace suffice {
namespace {

// Keeps the first reason it is given.
class Checker {
 public:
  explicit Checker(const Context& context) : device_(context.device()) {}

  template <class... Args>
  void Want(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition && !reason_) reason_ = fmt::format(format, std::forward<Args>(args)...);
  }

  void Is(const char* name, const View& view, DType dtype, const Shape& shape) {
    Want(!view.empty(), "{}: missing", name);
    Want(view.dtype == dtype, "{}: type {}, wanted {}", name, NameOf(view.dtype), NameOf(dtype));
    Want(view.shape == shape, "{}: shape {}, wanted {}", name, ToString(view.shape),
         ToString(shape));
    Want(view.device == device_, "{}: on another device than the context's", name);
  }

  void IsOptional(const char* name, const View& view, DType dtype, const Shape& shape) {
    if (!view.empty()) Is(name, view, dtype, shape);
  }

  void LastStrideIsOne(const char* name, const View& view) {
    const int last = view.shape.rank - 1;
    if (view.empty() || last < 0 || view.dim(last) == 1) return;
    Want(view.stride(last) == 1, "{}: stride {} of the last dimension, wanted 1", name,
         view.stride(last));
  }

  // A (B, H, N, D) tensor of values.
  void Values(const char* name, const View& view) {
    Want(!view.empty(), "{}: missing", name);
    Want(view.shape.rank == 4, "{}: shape {}, wanted 4 dimensions", name, ToString(view.shape));
    Want(view.dtype == DType::kBF16 || view.dtype == DType::kF32, "{}: type {}, wanted bf16 or f32",
         name, NameOf(view.dtype));
    Want(view.shape.elements() > 0, "{}: shape {} holds nothing", name, ToString(view.shape));
    Want(view.device == device_, "{}: on another device than the context's", name);
    LastStrideIsOne(name, view);
  }

  void ValuesLike(const char* name, const View& view, DType dtype, const Shape& shape) {
    Is(name, view, dtype, shape);
    LastStrideIsOne(name, view);
  }

  // q and k of one attention: heads, head dimension, one type.
  void Pair(const View& q, const View& k) {
    Values("q", q);
    Values("k", k);
    if (reason_) return;
    Want(q.dim(3) <= kMaxHeadDim, "q: head dimension {}, at most {}", q.dim(3), kMaxHeadDim);
    Want(k.dtype == q.dtype, "k: type {}, q has {}", NameOf(k.dtype), NameOf(q.dtype));
    Want(k.dim(0) == q.dim(0) && k.dim(3) == q.dim(3) && q.dim(1) % k.dim(1) == 0,
         "k: shape {} does not go with q's {}", ToString(k.shape), ToString(q.shape));
  }

  void Scale(float scale) {
    Want(std::isfinite(scale) && scale > 0.0f, "scale: {}, wanted a positive number", scale);
  }

  void Block(BlockSize block, int64_t n_q, int64_t n_k) {
    Want(block.q > 0 && block.k > 0, "block: {} x {}, wanted positive sizes", block.q, block.k);
    if (reason_) return;
    const int64_t most = std::max(BlockCount(n_q, block.q), BlockCount(n_k, block.k));
    Want(std::max(n_q, n_k) <= kMaxTokens, "{} tokens, at most {}", std::max(n_q, n_k), kMaxTokens);
    Want(most <= kMaxBlocks, "block: {} x {} makes {} blocks, at most {}", block.q, block.k, most,
         kMaxBlocks);
  }

  void Lists(const char* name, const BlockLists& lists, int64_t rows) {
    Is(name, lists.ptr, DType::kI64, {rows + 1});
    Want(!lists.ids.empty() && lists.ids.shape.rank == 1, "{}: ids missing", name);
    Want(lists.ids.dtype == DType::kU16, "{}: ids of type {}, wanted u16", name,
         NameOf(lists.ids.dtype));
    Want(lists.ids.device == device_, "{}: ids on another device than the context's", name);
    Want(lists.ptr.contiguous() && lists.ids.contiguous(), "{}: wanted contiguous lists", name);
  }

  const std::optional<std::string>& reason() const { return reason_; }

 private:
  Device device_;
  std::optional<std::string> reason_;
};

}  // namespace

std::optional<std::string> Validate(const Context& context, const PoolParams& p) {
  Checker check(context);
  check.Values("x", p.x);
  check.Want(p.block > 0, "block: {}, wanted a positive size", p.block);
  if (check.reason()) return check.reason();
  check.ValuesLike("pooled", p.pooled, DType::kF32,
                   {p.x.dim(0), p.x.dim(1), BlockCount(p.x.dim(2), p.block), p.x.dim(3)});
  return check.reason();
}

std::optional<std::string> Validate(const Context& context, const SelectParams& p) {
  Checker check(context);
  check.Want(p.n_q > 0 && p.n_k > 0, "n_q, n_k: {}, {}, wanted positive lengths", p.n_q, p.n_k);
  check.Block(p.block, p.n_q, p.n_k);
  if (check.reason()) return check.reason();
  const int64_t t_q = BlockCount(p.n_q, p.block.q);
  const int64_t t_k = BlockCount(p.n_k, p.block.k);

  const View& leader = p.k_pooled.empty() ? p.scores : p.q_pooled;
  const char* const name = p.k_pooled.empty() ? "scores" : "q_pooled";
  check.Want(!leader.empty() && leader.shape.rank == 4, "{}: missing, or not of 4 dimensions",
             name);
  if (check.reason()) return check.reason();
  const int64_t batch = leader.dim(0);
  const int64_t heads = leader.dim(1);
  if (!p.k_pooled.empty()) {
    check.Scale(p.scale);
    check.Want(
        p.k_pooled.shape.rank == 4 && p.k_pooled.dim(1) > 0 && heads % p.k_pooled.dim(1) == 0,
        "k_pooled: shape {} does not go with q_pooled's {}", ToString(p.k_pooled.shape),
        ToString(leader.shape));
    if (check.reason()) return check.reason();
    check.ValuesLike("q_pooled", p.q_pooled, DType::kF32, {batch, heads, t_q, leader.dim(3)});
    check.ValuesLike("k_pooled", p.k_pooled, DType::kF32,
                     {batch, p.k_pooled.dim(1), t_k, leader.dim(3)});
    check.Want(leader.dim(3) <= kMaxHeadDim, "q_pooled: head dimension {}, at most {}",
               leader.dim(3), kMaxHeadDim);
  }
  check.IsOptional("scores", p.scores, DType::kF32, {batch, heads, t_q, t_k});
  check.LastStrideIsOne("scores", p.scores);
  check.IsOptional("settings", p.settings, DType::kI32, {heads, 2});
  check.IsOptional("nan_flag", p.nan_flag, DType::kI32, {1});
  check.Want(p.settings.contiguous() || p.settings.empty(), "settings: wanted contiguous");

  if (p.rule == SelectRule::kMask) {
    check.Is("given", p.given, DType::kU8, {batch, heads, t_q, t_k});
    check.LastStrideIsOne("given", p.given);
  }
  if (p.settings.empty() && (p.rule == SelectRule::kTopK || p.rule == SelectRule::kHybrid)) {
    check.Want(p.setting.k_ppm >= 0 && p.setting.k_ppm <= kPartsPerMillion,
               "k: {} parts per million, wanted 0 to {}", p.setting.k_ppm, kPartsPerMillion);
  }
  if (p.settings.empty() && (p.rule == SelectRule::kTopP || p.rule == SelectRule::kHybrid)) {
    check.Want(p.setting.p_ppm > 0 && p.setting.p_ppm <= kPartsPerMillion,
               "p: {} parts per million, wanted 1 to {}", p.setting.p_ppm, kPartsPerMillion);
  }

  check.Lists("rows", p.rows, batch * heads * t_q);
  const int64_t all = batch * heads * t_q * t_k;
  if (check.reason()) return check.reason();
  check.Want(p.rows.ids.dim(0) >= all, "rows: room for {} ids, wanted {}", p.rows.ids.dim(0), all);
  if (!p.columns.empty()) {
    check.Lists("columns", p.columns, batch * heads * t_k);
    if (check.reason()) return check.reason();
    check.Want(p.columns.ids.dim(0) >= all, "columns: room for {} ids, wanted {}",
               p.columns.ids.dim(0), all);
  }
  return check.reason();
}

std::optional<std::string> Validate(const Context& context, const AttendParams& p) {
  Checker check(context);
  check.Pair(p.q, p.k);
  if (check.reason()) return check.reason();
  check.ValuesLike("v", p.v, p.q.dtype, p.k.shape);
  check.ValuesLike("o", p.o, p.q.dtype, p.q.shape);
  check.IsOptional("lse", p.lse, DType::kF32, {p.q.dim(0), p.q.dim(1), p.q.dim(2)});
  check.Scale(p.scale);
  check.Block(p.block, p.q.dim(2), p.k.dim(2));
  if (check.reason() || p.rows.empty()) return check.reason();
  check.Lists("rows", p.rows, p.q.dim(0) * p.q.dim(1) * BlockCount(p.q.dim(2), p.block.q));
  return check.reason();
}

std::optional<std::string> Validate(const Context& context, const AttendBackwardParams& p) {
  Checker check(context);
  check.Pair(p.q, p.k);
  if (check.reason()) return check.reason();
  const int64_t rows = p.q.dim(0) * p.q.dim(1);
  check.ValuesLike("v", p.v, p.q.dtype, p.k.shape);
  check.ValuesLike("o", p.o, p.q.dtype, p.q.shape);
  check.Is("lse", p.lse, DType::kF32, {p.q.dim(0), p.q.dim(1), p.q.dim(2)});
  check.ValuesLike("d_o", p.d_o, p.q.dtype, p.q.shape);
  check.ValuesLike("dq", p.dq, p.q.dtype, p.q.shape);
  check.ValuesLike("dk", p.dk, p.q.dtype, p.k.shape);
  check.ValuesLike("dv", p.dv, p.q.dtype, p.k.shape);
  check.Scale(p.scale);
  check.Block(p.block, p.q.dim(2), p.k.dim(2));
  check.Want(p.rows.empty() == p.columns.empty(), "rows and columns: wanted both or neither");
  if (check.reason() || p.rows.empty()) return check.reason();
  check.Lists("rows", p.rows, rows * BlockCount(p.q.dim(2), p.block.q));
  check.Lists("columns", p.columns, rows * BlockCount(p.k.dim(2), p.block.k));
  return check.reason();
}

std::optional<std::string> Validate(const Context& context, const FullLseParams& p) {
  Checker check(context);
  check.Pair(p.q, p.k);
  check.Scale(p.scale);
  if (check.reason()) return check.reason();
  int64_t rows = p.q.dim(2);
  if (!p.row_ids.empty()) {
    check.Want(p.row_ids.shape.rank == 1, "row_ids: shape {}, wanted 1 dimension",
               ToString(p.row_ids.shape));
    if (check.reason()) return check.reason();
    rows = p.row_ids.dim(0);
    check.Is("row_ids", p.row_ids, DType::kI64, {rows});
  }
  check.Is("lse_full", p.lse_full, DType::kF32, {p.q.dim(0), p.q.dim(1), rows});
  return check.reason();
}

std::optional<std::string> Validate(const Context& context, const CountPairsParams& p) {
  Checker check(context);
  check.Want(p.n_q > 0 && p.n_k > 0, "n_q, n_k: {} and {}, wanted above 0", p.n_q, p.n_k);
  check.Want(p.block.q > 0 && p.block.k > 0, "block: {}x{}, wanted above 0", p.block.q, p.block.k);
  check.Want(p.rows.ptr.shape.rank == 1 && p.rows.ids.shape.rank == 1,
             "rows: wanted two lists of 1 dimension");
  if (check.reason()) return check.reason();
  check.Is("rows.ptr", p.rows.ptr, DType::kI64, {p.rows.ptr.dim(0)});
  check.Is("rows.ids", p.rows.ids, DType::kU16, {p.rows.ids.dim(0)});
  check.Want((p.rows.ptr.dim(0) - 1) % BlockCount(p.n_q, p.block.q) == 0,
             "rows.ptr: {} offsets are not those of whole sequences of {} blocks",
             p.rows.ptr.dim(0), BlockCount(p.n_q, p.block.q));
  check.Is("total", p.total, DType::kI64, {1});
  return check.reason();
}

}  // namespace suffice
