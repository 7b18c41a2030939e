#include <cstdio>

#include "base/error.h"
#include "base/io/json.h"
#include "reward/command/options.h"
#include "reward/jail/jail.h"
#include "reward/service/client.h"

namespace grouper {

int RunHealth(const HealthOptions& options) {
  USER_CHECK(!options.address.empty() || options.self_test,
             "[health] name a service (127.0.0.1:50051) or ask for --self-test");
  ServiceHealth health;
  std::string jail_problem;
  if (!options.address.empty()) {
    health = AskHealth(options.address, std::chrono::milliseconds(5000));
  }
  if (options.self_test) {
    const Jail jail;
    if (!jail.standing()) jail_problem = jail.problem();
    if (options.address.empty()) health.serving = health.math = true;
    health.code = jail.standing() && (options.address.empty() || health.code);
    if (options.address.empty()) {
      health.capabilities.set_isolation(jail.isolation());
      health.capabilities.set_isolation_tier(jail.tier());
    }
  }
  const char* const tier = TierWord(health.capabilities.isolation_tier());
  const bool good = health.serving && health.math && health.code;
  if (options.json) {
    JsonWriter w;
    w.BeginObject()
        .Key("serving")
        .Value(health.serving)
        .Key("math")
        .Value(health.math)
        .Key("code")
        .Value(health.code);
    w.Key("grader_version").Value(health.capabilities.grader_version());
    w.Key("isolation_tier").Value(tier);
    w.Key("isolation").Value(health.capabilities.isolation());
    if (options.self_test) w.Key("self_test").Value(jail_problem.empty() ? "ok" : jail_problem);
    w.EndObject();
    std::printf("%s\n", w.text().c_str());
  } else {
    std::printf("service %s\nmath    %s\ncode    %s\ntier    %s\nwalls   %s\n",
                health.serving ? "SERVING" : "NOT_SERVING", health.math ? "SERVING" : "NOT_SERVING",
                health.code ? "SERVING" : "NOT_SERVING", tier,
                health.capabilities.isolation().c_str());
    if (!jail_problem.empty()) std::printf("self-test: %s\n", jail_problem.c_str());
  }
  return good ? 0 : 75;
}

}  // namespace grouper
