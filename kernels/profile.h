// SPDX-License-Identifier: Apache-2.0
// Where a context's time goes, by operation: what --profile prints. Times are the device's own,
// from one mark in the stream to the next, so that a profiled run is hardly slower than another;
// what an operation waits for the host is part of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/model_ops.h"

namespace suffice {

class Context;

class OperationProfile {
 public:
  explicit OperationProfile(Context& context) : context_(&context) {}
  ~OperationProfile();
  OperationProfile(const OperationProfile&) = delete;
  OperationProfile& operator=(const OperationProfile&) = delete;

  // Around one operation, on the thread that runs it.
  void Begin();
  void End(const std::string& operation);

  struct Row {
    std::string operation;
    int64_t calls = 0;
    double seconds = 0;
  };
  // Longest first. Waits for what was begun.
  std::vector<Row> Rows();

 private:
  using Clock = std::chrono::steady_clock;
  struct Span {
    Row* row;
    void *begin, *end;
  };
  void* TakeMark();
  void Drain();

  Context* context_;
  std::map<std::string, Row> rows_;
  std::vector<Span> spans_;    // whose times are not known yet
  std::vector<void*> free_;    // marks to be used again
  void* begin_ = nullptr;      // of the operation that runs
  Clock::time_point started_;  // the same, where the host's clock serves
};

// What tells the runs of one operation apart: the sizes of a product, the form of attention.
std::string ProfileDetail(const LinearParams& p);
std::string ProfileDetail(const AttendParams& p);
std::string ProfileDetail(const AttendBackwardParams& p);
template <class Params>
std::string ProfileDetail(const Params&) {
  return {};
}

}  // namespace suffice
