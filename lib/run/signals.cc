// SPDX-License-Identifier: Apache-2.0
#include "lib/run/signals.h"

#include <csignal>

#include "lib/io/atomic_file.h"

namespace suffice {
namespace {

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGUSR1};
// Ends of the process that nobody asked for. One that is handled already (a sanitizer's report) or
// ignored (nohup) stays so.
constexpr int kFatalSignals[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGABRT,
                                 SIGSYS,  SIGPIPE, SIGQUIT, SIGHUP, SIGXCPU};
volatile std::sig_atomic_t stop_signal = 0;
volatile std::sig_atomic_t may_wait = 0;

extern "C" void OnFatalSignal(int signal) {
  UnlinkLiveTemporaries();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

extern "C" void OnStopSignal(int signal) {
  if (may_wait != 0 && stop_signal == 0) {
    stop_signal = signal;
    return;
  }
  OnFatalSignal(signal);
}

}  // namespace

void InstallSignalHandlers(bool resumable) {
  stop_signal = 0;
  may_wait = resumable ? 1 : 0;
  struct sigaction action {};
  action.sa_handler = &OnStopSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : kStopSignals) sigaction(signal, &action, nullptr);
  action.sa_handler = &OnFatalSignal;
  for (const int signal : kFatalSignals) {
    struct sigaction present {};
    if (sigaction(signal, nullptr, &present) == 0 && present.sa_handler == SIG_DFL) {
      sigaction(signal, &action, nullptr);
    }
  }
  std::signal(SIGXFSZ, SIG_IGN);
}

bool StopSignalled() { return stop_signal != 0; }
int StopSignal() { return stop_signal; }

void ForgetSignals() {
  for (const int signal : kStopSignals) std::signal(signal, SIG_DFL);
  for (const int signal : kFatalSignals) {
    struct sigaction present {};
    if (sigaction(signal, nullptr, &present) == 0 && present.sa_handler == &OnFatalSignal) {
      std::signal(signal, SIG_DFL);
    }
  }
  std::signal(SIGXFSZ, SIG_DFL);
  stop_signal = 0;
}

}  // namespace suffice
