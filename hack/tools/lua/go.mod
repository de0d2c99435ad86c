// A Lua interpreter, for the health script of the sample for Argo CD. In a
// module of its own so that it never reaches the product's go.mod.
module github.com/leftfold/leftfold/hack/tools/lua

go 1.26.0

tool github.com/yuin/gopher-lua/cmd/glua

require (
	github.com/chzyer/readline v0.0.0-20180603132655-2972be24d48e // indirect
	github.com/yuin/gopher-lua v1.1.2 // indirect
	golang.org/x/sys v0.0.0-20190204203706-41f3e6584952 // indirect
)
