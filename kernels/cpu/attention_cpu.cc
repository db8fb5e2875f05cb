// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention_cpu.h"

#include <algorithm>

#include "kernels/attention_check.h"

namespace suffice {
namespace cpu {
namespace {

// Pairs of tokens must not straddle two blocks: of keys, and in the backward pass of queries.
template <class Params>
std::optional<std::string> Supports(const Context& context, const Params& params) {
  if (auto reason = Validate(context, params)) return reason;
  if (params.block.k % 2 != 0)
    return fmt::format("block: {} keys, wanted an even number", params.block.k);
  return std::nullopt;
}

}  // namespace

const AttentionKernels& KernelsFor(const Context& context, DType dtype) {
  const bool bf16 = dtype == DType::kBF16;
#if defined(__x86_64__)
  switch (context.isa()) {
    case CpuIsa::kAvx512Bf16:
      return bf16 ? KernelsAvx512Bf16() : KernelsAvx512(false);
    case CpuIsa::kAvx512:
      return KernelsAvx512(bf16);
    case CpuIsa::kAvx2:
      return KernelsAvx2(bf16);
    case CpuIsa::kPortable:
      break;
  }
#endif
  return KernelsPortable(bf16);
}

PackedHead::PackedHead(const AttentionKernels& kernels, int64_t rows, int dim, bool along,
                       bool across, Carver& carver)
    : kernels_(&kernels), dim_(dim) {
  copies_ = kernels.wide_input || (kernels.pairs && dim % 2 != 0 && along);
  pairs_ = kernels.pairs && across;
  const int units = kernels.pairs ? (dim + 1) / 2 : dim;
  copied_row_bytes_ = 4 * int64_t{units};
  paired_row_bytes_ = 4 * int64_t{dim};
  if (copies_) copied_ = carver.Take(rows * copied_row_bytes_);
  if (pairs_) paired_ = carver.Take((rows + 1) / 2 * paired_row_bytes_);
}

void PackedHead::Pack(const Rows& from, int64_t begin, int64_t end) const {
  if (copies_) {
    kernels_->copy_rows(from.from(begin), end - begin, dim_,
                        {copied_ + begin * copied_row_bytes_, copied_row_bytes_});
  }
  if (pairs_) {
    kernels_->pair_rows(from.from(begin), end - begin, dim_,
                        {paired_ + begin / 2 * paired_row_bytes_, paired_row_bytes_});
  }
}

UnitMatrix PackedHead::Along(const Rows& from) const {
  return copies_ ? UnitMatrix{copied_, copied_row_bytes_, 4}
                 : UnitMatrix{from.data, from.stride_bytes, 4};
}

UnitMatrix PackedHead::Across(const Rows& from) const {
  if (pairs_) return {paired_, 4, paired_row_bytes_};
  return copies_ ? UnitMatrix{copied_, 4, copied_row_bytes_}
                 : UnitMatrix{from.data, 4, from.stride_bytes};
}

}  // namespace cpu

void AddAttentionCpu(Backend& table) {
  table.pool = {&Validate, [](const Context&, const PoolParams&) { return size_t{0}; }, &cpu::Pool};
  table.select = {&Validate, &cpu::SelectWorkspaceBytes, &cpu::Select};
  table.attend = {&cpu::Supports<AttendParams>, &cpu::AttendWorkspaceBytes, &cpu::Attend};
  table.attend_backward = {&cpu::Supports<AttendBackwardParams>, &cpu::AttendBackwardWorkspaceBytes,
                           &cpu::AttendBackward};
  table.full_lse = {&Validate, &cpu::FullLseWorkspaceBytes, &cpu::FullLse};
}

}  // namespace suffice
