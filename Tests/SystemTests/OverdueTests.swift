import Glibc
import TestSupport
import Testing

/// A program that hangs is a failure and not an endless wait.
@Suite struct OverdueTests {
    @Test(.enabled(if: !Soak.isOn, "long tests have no limit")) func aProgramThatHangsIsKilled() throws {
        let program = try Subprocess(["sleep", "600"], outputPath: "/dev/null", maxSeconds: 1)
        #expect(try program.wait() == 128 + SIGKILL)
    }

    @Test func othersEndByThemselves() throws {
        let program = try Subprocess(["sh", "-c", "sleep 3; exit 7"], outputPath: "/dev/null", maxSeconds: 60)
        #expect(try program.wait() == 7)
    }
}
