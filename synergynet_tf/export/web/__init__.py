"""A segmentation model in the browser: `page.write` makes the page."""
