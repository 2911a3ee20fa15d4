"""What holds for every notebook, and the script that builds them."""
