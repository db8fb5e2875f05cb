// SPDX-License-Identifier: Apache-2.0
#include "lib/distill/loss_watch.h"

#include <algorithm>
#include <numeric>

namespace suffice::distill {

void LossWatch::Add(double loss) {
  losses_.push_back(loss);
  if (losses_.size() > kWindow) losses_.pop_front();
  sum_ = std::accumulate(losses_.begin(), losses_.end(), 0.0);  // afresh: no drift
  if (Full()) lowest_ = std::min(lowest_, mean());
}

}  // namespace suffice::distill
