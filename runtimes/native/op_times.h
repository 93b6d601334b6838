// Sums of operator times over runs.
#ifndef ASHORE_OP_TIMES_H_
#define ASHORE_OP_TIMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ashore {

struct OpTime {
  std::string name, type;
  bool delegated = false;
  uint64_t ns = 0, calls = 0;
};

class OpTimes {
 public:
  void add(const std::string& name, const std::string& type, bool delegated, uint64_t ns) {
    auto found = places_.find({delegated, name});
    if (found == places_.end()) {
      found = places_.insert({{delegated, name}, ops_.size()}).first;
      ops_.push_back({name, type, delegated, 0, 0});
    }
    ops_[found->second].ns += ns;
    ops_[found->second].calls += 1;
  }
  void count_run() { ++runs_; }
  void clear() {
    places_.clear();
    ops_.clear();
    runs_ = 0;
  }

  // In the order in which they first ran.
  const std::vector<OpTime>& ops() const { return ops_; }
  uint64_t runs() const { return runs_; }

 private:
  std::map<std::pair<bool, std::string>, size_t> places_;
  std::vector<OpTime> ops_;
  uint64_t runs_ = 0;
};

}  // namespace ashore

#endif  // ASHORE_OP_TIMES_H_
