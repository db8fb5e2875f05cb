// SPDX-License-Identifier: Apache-2.0
#include "kernels/profile.h"

#include <algorithm>

#include "kernels/backend.h"

namespace suffice {
namespace {

constexpr size_t kMostSpans = 4096;  // before their times are asked for

}  // namespace

OperationProfile::~OperationProfile() {
  const Backend& backend = context_->backend();
  for (const Span& span : spans_) free_.insert(free_.end(), {span.begin, span.end});
  if (begin_ != nullptr) free_.push_back(begin_);
  for (void* mark : free_) backend.free_mark(*context_, mark);
}

void* OperationProfile::TakeMark() {
  void* again = nullptr;
  if (!free_.empty()) {
    again = free_.back();
    free_.pop_back();
  }
  return context_->backend().mark(*context_, again);
}

void OperationProfile::Begin() {
  if (context_->backend().mark == nullptr) {
    started_ = Clock::now();
    return;
  }
  if (spans_.size() >= kMostSpans) Drain();
  begin_ = TakeMark();
}

void OperationProfile::End(const std::string& operation) {
  Row& row = rows_[operation];
  row.operation = operation;
  ++row.calls;
  if (context_->backend().mark == nullptr) {
    row.seconds += std::chrono::duration<double>(Clock::now() - started_).count();
    return;
  }
  spans_.push_back({&row, std::exchange(begin_, nullptr), TakeMark()});
}

void OperationProfile::Drain() {
  for (const Span& span : spans_) {
    span.row->seconds += context_->backend().seconds_between(*context_, span.begin, span.end);
    free_.insert(free_.end(), {span.begin, span.end});
  }
  spans_.clear();
}

std::vector<OperationProfile::Row> OperationProfile::Rows() {
  Drain();
  std::vector<Row> rows;
  for (const auto& [name, row] : rows_) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return rows;
}

std::string ProfileDetail(const LinearParams& p) {
  return fmt::format("{}x{}x{}", p.a.dim(0), p.b.dim(1), p.a.dim(1));
}
std::string ProfileDetail(const AttendParams& p) { return p.rows.empty() ? "dense" : "sparse"; }
std::string ProfileDetail(const AttendBackwardParams& p) {
  return p.rows.empty() ? "dense" : "sparse";
}

}  // namespace suffice
