import Glibc

// Runs all checks, or those whose names contain one of the arguments.
let wanted = CommandLine.arguments.dropFirst()
let checks = SchedulerChecks.all + ReplayChecks.all + PagerChecks.all + FlawChecks.all
var isWell = true
for check in checks where wanted.isEmpty || wanted.contains(where: check.name.contains) {
    if !check.report() { isWell = false }
}
exit(isWell ? 0 : 1)
