// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/device_probe.h"

#include "kernels/bench/device_array.h"
#include "kernels/bench/median.h"
#ifdef SUFFICE_HAVE_CUDA
#include "kernels/cuda/probe_cuda.h"
#endif

namespace suffice::bench {
namespace {

constexpr int64_t kSide = 8192;
constexpr int64_t kCopied = int64_t{1} << 30;
constexpr Repetitions kShort = {.fewest = 5, .most = 20, .seconds = 0.1};

}  // namespace

std::unique_ptr<DeviceProbe> OpenDeviceProbe([[maybe_unused]] Context& context) {
#ifdef SUFFICE_HAVE_CUDA
  if (context.device().kind == DeviceKind::kCuda) return OpenCudaProbe(context);
#endif
  return nullptr;
}

struct DeviceCeilings::Arrays {
  explicit Arrays(Context& context)
      : a(NormalArray(context, DType::kBF16, {kSide, kSide}, 0)),
        b(NormalArray(context, DType::kBF16, {kSide, kSide}, 1)),
        c(context, DType::kBF16, {kSide, kSide}),
        from(context, DType::kU8, {kCopied}),
        to(context, DType::kU8, {kCopied}) {}
  DeviceArray a, b, c, from, to;
  std::function<void()> product;
};

// The fastest of what the library suggests is a ceiling; its first suggestion is a guess.
DeviceCeilings::DeviceCeilings(Context& context, DeviceProbe& probe)
    : context_(context), probe_(probe), arrays_(std::make_unique<Arrays>(context)) {
  double best = 0.0;
  for (const auto& product :
       probe.Products(arrays_->a.view(), arrays_->b.view(), arrays_->c.view())) {
    product();
    const double seconds = Median(probe.Time(product, kShort, false));
    if (!arrays_->product || seconds < best) {
      best = seconds;
      arrays_->product = product;
    }
  }
}

DeviceCeilings::~DeviceCeilings() = default;

double DeviceCeilings::ProductGflops() {
  constexpr double kFlops = 2.0 * kSide * kSide * kSide;
  return kFlops / Median(probe_.Time(arrays_->product, kShort, false)) * 1e-9;
}

double DeviceCeilings::CopyBytesPerSecond() {
  const auto copy = [this] {
    const View from = arrays_->from.view(), to = arrays_->to.view();
    context_.backend().copy(context_, to.data, to.device.kind, from.data, from.device.kind,
                            from.bytes());
  };
  copy();
  return 2.0 * kCopied / Median(probe_.Time(copy, kShort, false));
}

}  // namespace suffice::bench
