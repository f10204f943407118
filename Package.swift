// swift-tools-version: 6.2

import PackageDescription

/// FLEXPAGE_SCHEDULED=1 builds the pager for a Scheduler that runs its threads one at a time (Sources/Scheduling): what
/// is in Scheduled takes the place of the system's locks, threads and clock. FLEXPAGE_FLAWS=1 lets tests plant mistakes
/// in it (Flaw.swift). Both want a scratch path of their own.
let isScheduled = Context.environment["FLEXPAGE_SCHEDULED"] != nil
let hasFlaws = isScheduled || Context.environment["FLEXPAGE_FLAWS"] != nil

/// Every Swift target: Swift 6 language mode (from the tools version), warnings are errors.
let strict: [SwiftSetting] =
    [.treatAllWarnings(as: .error)] + (isScheduled ? [.define("FLEXPAGE_SCHEDULED")] : [])
    + (hasFlaws ? [.define("FLEXPAGE_FLAWS")] : [])
/// What is checked in a debug build is checked in a scheduled one, which is optimised, and its tests see the inside.
let checked: [SwiftSetting] =
    isScheduled ? [.define("DEBUG"), .unsafeFlags(["-enable-testing", "-assert-config", "Debug"])] : []
/// And what is unsafe says so. For the side that nbdkit calls: what comes from C stands in its Interface files, and the
/// rest stays free of it. Elsewhere it would be noise: the pager is made of pointers, and so are reads and writes of
/// files.
let safe = strict + [.strictMemorySafety()]
let strictC: [CSetting] = [.treatAllWarnings(as: .error), .enableWarning("extra")]

/// What nbdkit loads has Swift's runtime inside, stays loaded, and exports only what the map of the linker says.
func loaded(exporting map: String) -> [LinkerSetting] {
    [
        .unsafeFlags([
            "-static-stdlib", "-Xlinker", "--version-script=\(Context.packageDirectory)/Plugin/\(map)",
            "-Xlinker", "-z", "-Xlinker", "nodelete",
        ])
    ]
}

let package = Package(
    name: "flexpage",
    products: [
        .library(name: "nbdkit-flexpage-plugin", type: .dynamic, targets: ["Glue"]),
        .library(name: "nbdkit-flexpage-filter", type: .dynamic, targets: ["FilterGlue"]),
        .executable(name: "flexpage", targets: ["flexpage"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.4.0"),
    ],
    targets: [
        // The pager: no nbdkit, no files, no Foundation, nothing else of ours.
        .target(name: "CIntrinsics", cSettings: strictC),
        .target(name: "CSignalStack", cSettings: strictC),
        .target(name: "CStateFormat", cSettings: strictC),
        .target(
            name: "Paging",
            dependencies: ["CIntrinsics", "CSignalStack", "CStateFormat"] + (isScheduled ? ["Scheduling"] : []),
            exclude: ["README.md"]
                + (isScheduled
                    ? ["Lock", "Crew", "Signal", "MonotonicClock", "Schedule", "Condition"].map {
                        "Locking/\($0).swift"
                    }
                    : ["Scheduled"]),
            swiftSettings: strict + checked),

        // Where bytes come from.
        .target(name: "CLinux", cSettings: strictC),
        .target(
            name: "Accessors",
            dependencies: [
                "Paging", "CLinux", "CStateFormat", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),

        // What knows nbdkit. Interface is what both languages call; what lies beside Adapter is C, and the only part that
        // needs nbdkit's symbols: Hosting for the plugin and the filter, Glue for the plugin, Filter for the filter.
        .target(name: "Interface", path: "Plugin/Interface", cSettings: strictC),
        .target(
            name: "Adapter",
            dependencies: [
                "Interface", "Paging", "Accessors", "CLinux",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Plugin/Adapter", swiftSettings: safe),
        .target(
            name: "Hosting", dependencies: ["Interface", "Adapter", "CSignalStack"], path: "Plugin/Hosting",
            cSettings: strictC),
        .target(
            name: "Glue", dependencies: ["Interface", "Hosting", "Adapter"], path: "Plugin/Glue",
            cSettings: strictC, linkerSettings: loaded(exporting: "plugin.map")),
        .target(
            name: "FilterGlue", dependencies: ["Interface", "Hosting", "Adapter"], path: "Plugin/Filter",
            cSettings: strictC, linkerSettings: loaded(exporting: "filter.map")),

        // The command line tool. `flexpage attach` connects with libnbd, and talks to the kernel with libnl. The
        // scheduled build does without these two. `flexpage simulate` compresses with liblz4.
        .systemLibrary(name: "CLibNBD"),
        .systemLibrary(name: "CLibLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CNetlink", pkgConfig: "libnl-genl-3.0", providers: [.apt(["libnl-genl-3-dev"])]),
        .executableTarget(
            name: "flexpage",
            dependencies: [
                "Paging", "Accessors", "CStateFormat", "CLibLZ4",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ] + (isScheduled ? [] : ["CLinux", "CLibNBD", "CNetlink"]),
            exclude: ["README.md", "flexpage.pod"] + (isScheduled ? ["Advise", "Attach", "Control", "Warm"] : []),
            swiftSettings: strict),

        // What tests count with.
        .target(name: "CAllocations", path: "Tests/CAllocations", cSettings: strictC),
        .target(name: "CReferences", path: "Tests/CReferences", cSettings: strictC),
        .target(name: "CStepping", path: "Tests/CStepping", cSettings: strictC),
        // What tests of several targets use: files, devices, programs, random numbers.
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "PagingTests", dependencies: ["Paging", "CAllocations", "CReferences", "CStepping", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "FlexpageTests", dependencies: ["flexpage", "Accessors", "Paging", "CStateFormat", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "AccessorsTests",
            dependencies: [
                "Accessors", "Paging", "CLinux", "CStateFormat", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            exclude: ["State/late.c"], swiftSettings: strict),
        .testTarget(
            name: "AdapterTests",
            dependencies: [
                "Adapter", "Interface", "Paging", "Accessors", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        // Apart from AdapterTests, because only this has to be optimised.
        .testTarget(
            name: "HitTests", dependencies: ["Adapter", "Interface", "CAllocations", "CReferences"],
            swiftSettings: strict),

        // The built plugin in a real nbdkit. It links none of the plugin, but it needs it built: see Server.
        .testTarget(
            name: "SystemTests", dependencies: ["CLibNBD", "TestSupport"], exclude: ["Faults/faults.c"],
            swiftSettings: strict),
    ]
)

// Under a sanitizer, or optimised, a build of everything takes minutes. Scripts/test names the test targets that it
// wants then; the plugin is not built, and the tool only where its tests are.
if let names = Context.environment["FLEXPAGE_TESTS"] {
    let wanted = names.split(separator: " ").map(String.init)
    package.products = []
    package.targets.removeAll { target in
        switch target.name {
        case "Glue", "FilterGlue", "Hosting": true
        case "flexpage": !wanted.contains("FlexpageTests")
        default: target.type == .test && !wanted.contains(target.name)
        }
    }
}

// The scheduled build has the pager, what schedules it, and the tool, which runs schedules for as long as one likes.
if isScheduled {
    package.products = []
    package.targets.removeAll {
        ["Glue", "FilterGlue", "Hosting", "CLibNBD", "CNetlink"].contains($0.name) || $0.type == .test
    }
    package.targets.first { $0.name == "flexpage" }?.dependencies.append("Schedules")
    package.targets += [
        .target(name: "Scheduling", swiftSettings: strict),
        .target(name: "CSchedules", path: "Tests/CSchedules", cSettings: strictC),
        .target(
            name: "Schedules", dependencies: ["Paging", "Scheduling", "CSchedules", "TestSupport"],
            path: "Tests/Schedules",
            swiftSettings: strict + [.unsafeFlags(["-enable-testing"])]),
        .executableTarget(
            name: "ScheduleTests", dependencies: ["Schedules", "Paging", "Scheduling"], path: "Tests/ScheduleTests",
            swiftSettings: strict),
    ]
}
