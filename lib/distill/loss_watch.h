// SPDX-License-Identifier: Apache-2.0
// Watches a loss curve for collapse: the mean of the last kWindow losses against the lowest such
// mean before. A function of the losses alone, so that a resumed run judges as the first one did.
#pragma once

#include <deque>
#include <limits>

namespace suffice::distill {

class LossWatch {
 public:
  static constexpr int kWindow = 50;
  // Below this a loss is small whatever it was before: velocities have a mean square of about 1,
  // and a student may start with its teacher's own weights, at nearly nothing.
  static constexpr double kSmall = 0.01;

  explicit LossWatch(double factor) : factor_(factor) {}  // 0: never collapses

  void Add(double loss);
  double mean() const { return losses_.empty() ? 0 : sum_ / static_cast<double>(losses_.size()); }
  double lowest() const { return lowest_; }  // infinite before the first whole window
  // The mean is above factor times the lowest: the training has lost what it had.
  bool collapsed() const { return Large() && mean() > factor_ * lowest_; }
  // It is on its way there: above the square root of that, no moment for a checkpoint.
  bool rising() const { return Large() && mean() * mean() > factor_ * lowest_ * lowest_; }

 private:
  bool Full() const { return losses_.size() == kWindow; }
  bool Large() const { return factor_ > 0 && Full() && mean() > kSmall; }
  double factor_;
  std::deque<double> losses_;
  double sum_ = 0;
  double lowest_ = std::numeric_limits<double>::infinity();
};

}  // namespace suffice::distill
