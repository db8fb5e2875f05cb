// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/hopper/tensor_map.h"

#include <cudaTypedefs.h>

#include "kernels/cuda/device.h"

namespace suffice::cuda::hopper {
namespace {

// A function of the driver, found through the runtime: we do not link with libcuda, which a machine
// without a GPU lacks.
PFN_cuTensorMapEncodeTiled_v12000 Encoder() {
  static const auto encoder = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    Check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                           cudaEnableDefault, &found),
          "cuTensorMapEncodeTiled");
    if (found != cudaDriverEntryPointSuccess) {
      throw DeviceError("cuda: the driver lacks cuTensorMapEncodeTiled, which CUDA 12.0 brought");
    }
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  return encoder;
}

constexpr int64_t kAlignment = 16;  // bytes

}  // namespace

std::optional<std::string> Unaddressable(const char* name, const View& x) {
  const auto size = static_cast<int64_t>(SizeOf(x.dtype));
  if (reinterpret_cast<uintptr_t>(x.data) % kAlignment != 0) {
    return fmt::format("{}: does not start at a multiple of {} bytes", name, kAlignment);
  }
  for (int i = 0; i < 3; ++i) {
    const int64_t bytes = x.stride(i) * size;
    if (x.dim(i) > 1 && (bytes <= 0 || bytes % kAlignment != 0 || bytes >= int64_t{1} << 40)) {
      return fmt::format("{}: stride {} of dimension {} is no positive multiple of {} bytes", name,
                         x.stride(i), i, kAlignment);
    }
  }
  return std::nullopt;
}

CUtensorMap MapOf(const View& x, int box_rows) {
  constexpr int kRank = 4;
  const auto size = static_cast<int64_t>(SizeOf(x.dtype));
  cuuint64_t extents[kRank], strides[kRank - 1];
  for (int i = 0; i < kRank; ++i) {
    const int axis = kRank - 1 - i;
    extents[i] = static_cast<cuuint64_t>(x.dim(axis));
    // The stride of an axis of one is never used; it must still be legal.
    const int64_t whole = (x.dim(3) * size + kAlignment - 1) / kAlignment * kAlignment;
    const int64_t bytes = x.dim(axis) > 1 ? x.stride(axis) * size : whole;
    if (i > 0) strides[i - 1] = static_cast<cuuint64_t>(bytes);
  }
  const cuuint32_t box[kRank] = {static_cast<cuuint32_t>(kBoxBytes / size),
                                 static_cast<cuuint32_t>(box_rows), 1, 1};
  const cuuint32_t steps[kRank] = {1, 1, 1, 1};
  const auto type =
      x.dtype == DType::kF32 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  CUtensorMap map;
  const CUresult status =
      Encoder()(&map, type, kRank, x.data, extents, strides, box, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw RunError("cuda: tensor map of {}: driver error {}", ToString(x.shape),
                   static_cast<int>(status));
  }
  return map;
}

}  // namespace suffice::cuda::hopper
