package identity

// OperatorName is the operator's name.
const OperatorName = "operator.leftfold"

// runtimeSuffix ends the names of Runtimes. A namespace has no dots, so a name is
// of one Runtime only, whatever dots the Runtime's own name has.
const runtimeSuffix = ".runtime.leftfold"

// RuntimeName is the name of all pods of a Runtime.
func RuntimeName(namespace, runtime string) string {
	return runtime + "." + namespace + runtimeSuffix
}
