module spandrel.dev/burner

go 1.25
