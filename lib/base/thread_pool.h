// SPDX-License-Identifier: Apache-2.0
// A fixed set of threads that share the iterations of one loop at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace suffice {

class ThreadPool {
 public:
  // `threads` counts the caller, which works too; 0 means one per core that this process may use.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls body(index, worker) once for each index in [0, count), worker in [0, threads()), and
  // returns when all are done. Indices are handed out in order, `grain` at a time, to whoever is
  // free: results must not depend on which worker ran which index. Not reentrant. The first
  // exception that a body throws is rethrown here after the loop has drained.
  void ParallelFor(int64_t count, int64_t grain,
                   const std::function<void(int64_t index, int worker)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

int AvailableCores();  // cores that this process may run on

}  // namespace suffice
