// SPDX-License-Identifier: Apache-2.0
#include "lib/run/progress.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/base/error.h"

namespace suffice {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr auto kSilence =
    std::chrono::milliseconds(3500);  // so that four seconds are never reached
constexpr auto kBetweenSteps = std::chrono::milliseconds(1000);

ProgressMode Resolve(const Options& options, std::FILE* stream) {
  if (options.quiet) return ProgressMode::kNone;
  if (options.progress != ProgressMode::kAuto) return options.progress;
  const char* term = std::getenv("TERM");
  const bool terminal =
      ::isatty(::fileno(stream)) == 1 && (term == nullptr || std::string(term) != "dumb");
  return terminal ? ProgressMode::kBar : ProgressMode::kLines;
}

bool Coloured(const Options& options, std::FILE* stream) {
  if (options.color != "auto") return options.color == "always";
  const char* no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && ::isatty(::fileno(stream)) == 1;
}

}  // namespace

struct Progress::State {
  std::string name;
  std::FILE* stream;
  ProgressMode mode;
  bool verbose;
  bool colour;
  Clock::time_point start = Clock::now();

  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  bool bar_shown = false;
  std::string activity = "working";
  Clock::time_point last_line = Clock::now();
  Clock::time_point last_step{};
  std::thread heartbeat;

  double Elapsed() const { return std::chrono::duration<double>(Clock::now() - start).count(); }

  void ClearBar() {
    if (bar_shown) std::fputs("\r\033[K", stream);
    bar_shown = false;
  }

  // With the mutex held.
  void Emit(const char* event, const std::string& text, const Facts& facts) {
    last_line = Clock::now();
    if (mode == ProgressMode::kNone) return;
    if (mode == ProgressMode::kJsonl) {
      Json json = {{"event", event}, {"command", name}, {"seconds", Elapsed()}, {"text", text}};
      for (const auto& [key, value] : facts) {
        std::visit([&](const auto& x) { json[key] = x; }, value);
      }
      std::fputs((json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n").c_str(),
                 stream);
    } else {
      ClearBar();
      const bool dim = colour && std::string(event) == "waiting";
      std::fprintf(stream, "%s%s: %s%s\n", dim ? "\033[2m" : "", name.c_str(),
                   Printable(text).c_str(), dim ? "\033[0m" : "");
    }
    std::fflush(stream);
  }

  void Beat() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      wake.wait_until(lock, last_line + kSilence, [&] { return stopping; });
      if (stopping || Clock::now() < last_line + kSilence) continue;
      Emit("waiting", fmt::format("{} ({:.0f} s)", activity, Elapsed()), {});
    }
  }
};

Progress::Progress(std::string name, const Options& options, std::FILE* stream)
    : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  state_->stream = stream;
  state_->mode = Resolve(options, stream);
  state_->verbose = options.verbose > 0;
  state_->colour = Coloured(options, stream);
  if (state_->mode != ProgressMode::kNone) {
    state_->heartbeat = std::thread([state = state_.get()] { state->Beat(); });
  }
}

Progress::~Progress() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->ClearBar();
    std::fflush(state_->stream);
  }
  state_->wake.notify_all();
  if (state_->heartbeat.joinable()) state_->heartbeat.join();
}

void Progress::Activity(const std::string& text) {
  const std::lock_guard lock(state_->mutex);
  state_->activity = text;
  state_->Emit("activity", text, {});
}

void Progress::Plan(const std::vector<std::string>& lines, const Facts& facts) {
  const std::lock_guard lock(state_->mutex);
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n  ") + line;
  state_->Emit("plan", text, facts);
}

void Progress::Step(int64_t done, int64_t total, const std::string& text, const Facts& facts) {
  const std::lock_guard lock(state_->mutex);
  State& s = *state_;
  s.activity = text;
  const auto now = Clock::now();
  if (done < total && now - s.last_step < kBetweenSteps) return;
  s.last_step = now;
  if (s.mode == ProgressMode::kBar && done < total) {
    constexpr int kWidth = 24;
    const auto filled =
        static_cast<int>(kWidth * static_cast<double>(done) / static_cast<double>(total));
    const std::string bar = std::string(static_cast<size_t>(filled), '#') +
                            std::string(static_cast<size_t>(kWidth - filled), '.');
    std::fprintf(s.stream, "\r\033[K%s: [%s] %s", s.name.c_str(), bar.c_str(),
                 Printable(text).c_str());
    std::fflush(s.stream);
    s.bar_shown = true;
    s.last_line = now;
    return;
  }
  Facts all = {{"done", done}, {"total", total}};
  all.insert(all.end(), facts.begin(), facts.end());
  s.Emit("step", text, all);
}

void Progress::Line(const std::string& text, const Facts& facts) {
  const std::lock_guard lock(state_->mutex);
  state_->Emit("result", text, facts);
}

void Progress::Warning(const std::string& text) {
  const std::lock_guard lock(state_->mutex);
  if (state_->mode == ProgressMode::kNone) {
    std::fprintf(state_->stream, "%s: warning: %s\n", state_->name.c_str(),
                 Printable(text).c_str());
    return;
  }
  state_->Emit("warning", "warning: " + text, {});
}

void Progress::Verbose(const std::string& text) {
  const std::lock_guard lock(state_->mutex);
  if (state_->verbose) state_->Emit("detail", text, {});
}

}  // namespace suffice
