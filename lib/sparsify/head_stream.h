// SPDX-License-Identifier: Apache-2.0
// q, k, v of a tensor file on their way through a device, a group of heads at a time: heads are
// independent, so inputs may be larger than the device's memory. While one group is worked on, the
// next one is copied on a stream of its own. Where the device is the host, nothing is copied.
#pragma once

#include <future>
#include <vector>

#include "lib/sparsify/inputs.h"

namespace suffice::sparsify {

// Query heads [begin, end) of one batch element, whole groups that share their keys.
struct HeadGroup {
  int64_t batch, begin, end;
};

// Groups of enough query blocks to keep many threads busy, the same for any number of them.
std::vector<HeadGroup> HeadGroups(const InputShapes& shapes, BlockSize block);

class HeadStream {
 public:
  // `options`: those that `context` was opened with.
  HeadStream(Context& context, const ContextOptions& options, const HostInputs& inputs,
             std::vector<HeadGroup> groups);
  ~HeadStream();

  const std::vector<HeadGroup>& groups() const { return groups_; }
  // q (1, heads, N_q, D), k and v (1, heads of k, N_k, D) of a group; begins to bring the next. The
  // group before must be done with: its work waited for, its tensors dropped or about to be.
  LoadedInputs Take(size_t group);

 private:
  LoadedInputs Bring(Context& context, size_t group) const;

  Context& context_;
  const HostInputs inputs_;
  const std::vector<HeadGroup> groups_;
  std::unique_ptr<Context> loader_;  // none where the device is the host
  std::future<LoadedInputs> next_;
  size_t coming_ = 0;  // the group that next_ brings
};

}  // namespace suffice::sparsify
