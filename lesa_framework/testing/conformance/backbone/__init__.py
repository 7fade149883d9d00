"""What a backbone adapter must keep to: each module is a group, each public function in it a check."""
