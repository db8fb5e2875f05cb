// SPDX-License-Identifier: Apache-2.0
#include "lib/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "lib/base/error.h"

namespace suffice {

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable start;
  std::condition_variable finished;
  uint64_t generation = 0;  // counts loops: a worker sleeps until it changes
  int running = 0;          // workers that have not yet left the current loop
  bool stopping = false;
  bool in_loop = false;

  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;

  void Drain(int worker) {
    try {
      for (;;) {
        const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        const int64_t end = std::min(count, begin + grain);
        for (int64_t i = begin; i < end; ++i) (*body)(i, worker);
      }
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  void Work(int worker) {
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        start.wait(lock, [&] { return stopping || generation != seen; });
        if (stopping) return;
        seen = generation;
      }
      Drain(worker);
      const std::lock_guard lock(mutex);
      if (--running == 0) finished.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  const int total = threads > 0 ? threads : AvailableCores();
  for (int worker = 1; worker < total; ++worker) {
    state_->workers.emplace_back([state = state_.get(), worker] { state->Work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->start.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::ParallelFor(int64_t count, int64_t grain,
                             const std::function<void(int64_t, int)>& body) {
  if (count <= 0) return;
  State& s = *state_;
  SUFFICE_CHECK(!s.in_loop);
  if (s.workers.empty() || count <= grain) {
    for (int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  {
    const std::lock_guard lock(s.mutex);
    s.in_loop = true;
    s.body = &body;
    s.count = count;
    s.grain = std::max<int64_t>(1, grain);
    s.next.store(0, std::memory_order_relaxed);
    s.failure = nullptr;
    s.running = static_cast<int>(s.workers.size());
    ++s.generation;
  }
  s.start.notify_all();
  s.Drain(0);
  std::unique_lock lock(s.mutex);
  s.finished.wait(lock, [&] { return s.running == 0; });
  s.in_loop = false;
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

int AvailableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace suffice
