// SPDX-License-Identifier: Apache-2.0
#include "lib/sparsify/head_stream.h"

#include <algorithm>

namespace suffice::sparsify {
namespace {

// Heads [begin, end) of one batch element of a (B, H, N, D) array.
Tensor Part(Context& context, const std::shared_ptr<const MappedArray>& array, int64_t batch,
            int64_t begin, int64_t end) {
  const View whole = array->view();
  const int64_t head = whole.dim(2) * whole.dim(3);
  const int64_t first = (batch * whole.dim(1) + begin) * head;
  auto* const data =
      static_cast<std::byte*>(whole.data) + first * static_cast<int64_t>(SizeOf(whole.dtype));
  const Shape shape = {1, end - begin, whole.dim(2), whole.dim(3)};
  return Tensor::Borrow(context, ContiguousView(data, whole.dtype, shape, whole.device), array);
}

}  // namespace

std::vector<HeadGroup> HeadGroups(const InputShapes& shapes, BlockSize block) {
  constexpr int64_t kBlocks = 256;
  const int64_t heads = shapes.q[1], shared = heads / shapes.k[1];
  const int64_t t_q = BlockCount(shapes.q[2], block.q);
  const int64_t step = shared * std::max<int64_t>(1, kBlocks / (t_q * shared));
  std::vector<HeadGroup> groups;
  for (int64_t b = 0; b < shapes.q[0]; ++b) {
    for (int64_t h = 0; h < heads; h += step) groups.push_back({b, h, std::min(heads, h + step)});
  }
  return groups;
}

HeadStream::HeadStream(Context& context, const ContextOptions& options, const HostInputs& inputs,
                       std::vector<HeadGroup> groups)
    : context_(context), inputs_(inputs), groups_(std::move(groups)) {
  if (context.device().kind != DeviceKind::kHost) loader_ = std::make_unique<Context>(options);
}

HeadStream::~HeadStream() {
  if (next_.valid()) next_.wait();  // what it brings belongs to loader_
}

LoadedInputs HeadStream::Bring(Context& context, size_t group) const {
  const HeadGroup& g = groups_[group];
  const int64_t shared = inputs_.q->shape()[1] / inputs_.k->shape()[1];
  LoadedInputs loaded = {Part(context, inputs_.q, g.batch, g.begin, g.end),
                         Part(context, inputs_.k, g.batch, g.begin / shared, g.end / shared),
                         Part(context, inputs_.v, g.batch, g.begin / shared, g.end / shared)};
  context.backend().synchronize(context);
  return loaded;
}

LoadedInputs HeadStream::Take(size_t group) {
  if (loader_ == nullptr) return Bring(context_, group);
  LoadedInputs taken;
  if (next_.valid()) taken = next_.get();
  if (taken.q.empty() || coming_ != group) taken = Bring(*loader_, group);
  coming_ = group + 1;
  if (coming_ < groups_.size()) {
    next_ = std::async(std::launch::async, [this] { return Bring(*loader_, coming_); });
  }
  return taken;
}

}  // namespace suffice::sparsify
