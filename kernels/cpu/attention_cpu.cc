// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention_cpu.h"

#include <algorithm>

#include "kernels/attention_check.h"

namespace suffice {
namespace cpu {
namespace {

// Pairs of keys must not straddle two blocks.
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

PackedRows PackedRows::AlongRows(const AttentionKernels& kernels, int64_t rows, int dim,
                                 Carver& carver) {
  PackedRows packed{Form::kInPlace, rows, dim, nullptr};
  if (kernels.wide_input || (kernels.pairs && dim % 2 != 0)) packed.form = Form::kCopied;
  if (packed.form == Form::kCopied) packed.memory = carver.Take(rows * packed.memory_row_bytes());
  return packed;
}

PackedRows PackedRows::AcrossRows(const AttentionKernels& kernels, int64_t rows, int dim,
                                  Carver& carver) {
  PackedRows packed{Form::kInPlace, rows, dim, nullptr};
  if (kernels.pairs) {
    packed.form = Form::kPaired;
    packed.memory = carver.Take((rows + 1) / 2 * packed.memory_row_bytes());
  } else if (kernels.wide_input) {
    packed.form = Form::kCopied;
    packed.memory = carver.Take(rows * packed.memory_row_bytes());
  }
  return packed;
}

int64_t PackedRows::memory_row_bytes() const { return 4 * int64_t{dim}; }

UnitMatrix PackedRows::Units(const Rows& from, bool across) const {
  const char* data = form == Form::kInPlace ? from.data : memory;
  const int64_t stride = form == Form::kInPlace ? from.stride_bytes : memory_row_bytes();
  return across ? UnitMatrix{data, 4, stride} : UnitMatrix{data, stride, 4};
}

void PackRows(const AttentionKernels& kernels, const PackedRows& packed, const Rows& from,
              int64_t begin, int64_t end) {
  const int64_t bytes = packed.memory_row_bytes();
  switch (packed.form) {
    case PackedRows::Form::kInPlace:
      return;
    case PackedRows::Form::kCopied:
      kernels.copy_rows(from.from(begin), end - begin, packed.dim,
                        {packed.memory + begin * bytes, bytes});
      return;
    case PackedRows::Form::kPaired:
      kernels.pair_rows(from.from(begin), end - begin, packed.dim,
                        {packed.memory + begin / 2 * bytes, bytes});
      return;
  }
}

}  // namespace cpu

void AddAttentionCpu(Backend& table) {
  table.attend = {&cpu::Supports<AttendParams>, &cpu::AttendWorkspaceBytes, &cpu::Attend};
}

}  // namespace suffice
