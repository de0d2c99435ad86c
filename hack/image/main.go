// Command image packs one static binary into an image archive, for clusters
// that get their images without a registry.
//
//	go run ./hack/image -name leftfold:dev -binary bin/leftfold -o bin/images/leftfold.tar
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/leftfold/leftfold/hack/internal/image"
)

func main() {
	name := flag.String("name", "", "name of the image, such as leftfold:dev")
	binary := flag.String("binary", "", "static Linux binary; it becomes the entry point under its own name")
	out := flag.String("o", "", "archive to write")
	flag.Parse()
	if *name == "" || *binary == "" || *out == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "image: -name, -binary and -o are needed")
		os.Exit(2)
	}
	if err := image.Write(*out, *name, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "image: "+err.Error())
		os.Exit(1)
	}
	_, digest, err := image.Identity(*out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image: "+err.Error())
		os.Exit(1)
	}
	fmt.Printf("%s: %s, %s\n", *out, *name, digest)
}
