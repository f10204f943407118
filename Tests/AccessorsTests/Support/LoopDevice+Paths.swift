import SystemPackage
import TestSupport

extension LoopDevice {
    var node: FilePath { FilePath(path) }
    var backing: FilePath { FilePath(file) }
}
