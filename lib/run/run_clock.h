// SPDX-License-Identifier: Apache-2.0
// The clocks of a run, private to lib/run: since the process started, since the work began, since
// the last checkpoint, and what earlier starts of the same run have spent.
#pragma once

#include <chrono>

#include "lib/run/run_scope.h"

namespace suffice {

struct RunScope::Clock {
  using Steady = std::chrono::steady_clock;
  Steady::time_point start = Steady::now();
  Steady::time_point work = start;
  Steady::time_point checkpoint = start;
  bool working = false;
  double spent_before = 0;

  static double Since(Steady::time_point then) {
    return std::chrono::duration<double>(Steady::now() - then).count();
  }
  double SinceStart() const { return Since(start); }
  double Spent() const { return spent_before + (working ? Since(work) : 0.0); }
  void BeginWork() {
    working = true;
    work = checkpoint = Steady::now();
  }
};

}  // namespace suffice
