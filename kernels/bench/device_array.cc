// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/device_array.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace suffice::bench {
namespace {

constexpr int64_t kTable = 1 << 20;
constexpr int64_t kPiece = 1 << 16;
constexpr int64_t kAligned = 8;  // offsets, in values: pieces are copied 16 bytes at a time

void SetNormals(Context& context, DeviceArray& array, uint32_t which) {
  const DType dtype = array.view().dtype;
  const int64_t count = array.view().shape.elements();
  std::vector<std::byte> values(array.view().bytes());
  context.pool().ParallelFor((count + kPiece - 1) / kPiece, 1, [&](int64_t piece, int) {
    for (int64_t i = piece * kPiece; i < std::min(count, (piece + 1) * kPiece); ++i) {
      const float x = NormalAt(kSeed, kStream + which, static_cast<uint64_t>(i));
      if (dtype == DType::kBF16) {
        reinterpret_cast<BFloat16*>(values.data())[i] = ToBFloat16(x);
      } else {
        reinterpret_cast<float*>(values.data())[i] = x;
      }
    }
  });
  array.Set(values.data());
}

// Offsets are no multiples of a row's length, so that rows are not copies of each other.
void LayPieces(Context& context, const View& to, const View& table, uint32_t which) {
  const int64_t count = to.shape.elements();
  const auto size = static_cast<int64_t>(SizeOf(to.dtype));
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    const uint32_t bits =
        Philox(kSeed, kStream + which, static_cast<uint64_t>(count + begin / kPiece))[0];
    const int64_t offset = bits % ((kTable - kPiece) / kAligned) * kAligned;
    context.backend().copy(context, static_cast<std::byte*>(to.data) + begin * size, to.device.kind,
                           static_cast<const std::byte*>(table.data) + offset * size,
                           table.device.kind,
                           static_cast<size_t>(std::min(kPiece, count - begin) * size));
  }
}

}  // namespace

DeviceArray::DeviceArray(Context& context, DType dtype, const Shape& shape)
    : context_(&context), view_(ContiguousView(nullptr, dtype, shape, context.device())) {
  view_.data = context.backend().alloc(context, view_.bytes());
}

DeviceArray::~DeviceArray() {
  if (context_ != nullptr) context_->backend().free(*context_, view_.data);
}

DeviceArray::DeviceArray(DeviceArray&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)), view_(other.view_) {}

DeviceArray& DeviceArray::operator=(DeviceArray&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(view_, other.view_);
  return *this;
}

void DeviceArray::Set(const void* values) {
  context_->backend().copy(*context_, view_.data, view_.device.kind, values, DeviceKind::kHost,
                           view_.bytes());
}

void DeviceArray::Get(void* values) const {
  context_->backend().copy(*context_, values, DeviceKind::kHost, view_.data, view_.device.kind,
                           view_.bytes());
  context_->backend().synchronize(*context_);
}

DeviceArray NormalArray(Context& context, DType dtype, const Shape& shape, uint32_t which) {
  DeviceArray array(context, dtype, shape);
  const NormalFillParams fill = {array.view(), kSeed, kStream + which, 0};
  if (context.Supports(fill)) {
    context.Run(fill);
  } else if (context.device().kind == DeviceKind::kHost || shape.elements() <= kTable) {
    SetNormals(context, array, which);
  } else {
    DeviceArray table(context, dtype, {kTable});
    SetNormals(context, table, which);
    LayPieces(context, array.view(), table.view(), which);
    context.backend().synchronize(context);
  }
  return array;
}

}  // namespace suffice::bench
